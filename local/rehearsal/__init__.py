"""The rehearsal model server: a real HTTP server in both providers' wire formats that plays no real model."""
