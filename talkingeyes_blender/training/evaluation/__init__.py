"""How good generated motion is: metrics, baselines, the correlation network, the paper's tables, the user study."""
