"""Values to plotly figures and small HTML; no callbacks."""
