"""What the Kubernetes scaler needs to know of Kubernetes: its API, its objects, access to it."""
