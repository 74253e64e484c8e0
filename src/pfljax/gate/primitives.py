"""What JAX's primitives count as. One that is not named here is elementwise: one operation per output element."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MOVES = _names("""
    all_gather all_gather_invariant all_to_all bitcast_convert_type broadcast broadcast_in_dim concatenate copy copy_p
    device_put dynamic_slice dynamic_update_slice empty expand_dims full gather get iota optimization_barrier pad
    pcast ppermute pvary random_bits reshape rev scatter sharding_constraint slice split squeeze stop_gradient swap
    transpose
""")
TRANSCENDENTAL = _names("""
    acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt cos cosh digamma erf erf_inv erfc exp exp2 expm1
    igamma igammac lgamma log log1p logistic polygamma pow regularized_incomplete_beta rsqrt sin sinh sqrt tan tanh
    zeta
""")
REDUCTIONS = _names("""
    argmax argmin cumlogsumexp cummax cummin cumprod cumsum reduce_max reduce_min reduce_prod reduce_scatter
    reduce_sum top_k
""")
WINDOWS = _names("reduce_window_max reduce_window_min reduce_window_sum select_and_gather_add")
# Nominal: the matrix's rows x columns x shorter side. A factor that stays the same is all that a comparison needs.
LINEAR_ALGEBRA = _names("""
    cholesky eig eigh geqrf hessenberg householder_product lu qr schur svd triangular_solve tridiagonal
""")
CALLBACKS = _names("debug_callback debug_print infeed io_callback outfeed outside_call pure_callback python_callback")
