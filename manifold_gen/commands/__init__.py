"""The subcommands of ``manifold-gen``, one a file; heavy imports happen inside the functions that run."""
