"""The scaling verdict as pure figures: steps, decisions, the scalability law, blame, autoscaling."""
