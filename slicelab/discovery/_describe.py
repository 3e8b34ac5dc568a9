def describe(inside, attributes, half, *, random_state=0):
    return None
