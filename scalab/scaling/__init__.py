"""The scaling verdict as figures: steps, decisions, scalability law, blame, autoscaling; pure."""
