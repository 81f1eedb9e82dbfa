"""Heat kernels: the transition densities of Brownian motion (generator ½Δ) on each manifold, one geometry a file."""
