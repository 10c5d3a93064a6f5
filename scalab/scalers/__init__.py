"""What changes the number of workers: this machine, a Kubernetes Deployment, a command."""
