"""Networks as such: backbones, heads in front of and behind them, residual and restoration networks."""
