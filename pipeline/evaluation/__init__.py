"""Base against adapted encoder: measures, intervals, and a verdict that follows from them."""
