"""Who may come in: tokens, TLS certificates, and the files that hold them. No Trio, no sockets."""
