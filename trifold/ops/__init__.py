"""What never enters an image: registry, check, build, serve on this machine, the command line."""
