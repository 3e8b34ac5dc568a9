"""What people wait for, beside named peers: fresh processes, CPU seconds, medians and spread."""
