"""The error function for any array library, accurate to a few units in the last place.

NumPy has no erf (SciPy and CuPy do). This one is the rational approximation of Sun's fdlibm
(s_erf.c, 1993), which also stands behind most C libraries: the half line is cut into four ranges,
and in each one erf is a quotient of two polynomials, in the tail together with an exponential.
The coefficients are theirs; the evaluation is by whole arrays, every range computed everywhere and
the right one picked by ``where``, so that nothing is written in place and NaN stays NaN.

fdlibm splits x before it squares it for the exponential. That matters for erfc, whose relative
error would grow with x squared; for erf the tail is subtracted from 1, and the split buys nothing.

Source: https://www.netlib.org/fdlibm/s_erf.c
  Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Developed at SunPro, a Sun
  Microsystems, Inc. business. Permission to use, copy, modify, and distribute this software is
  freely granted, provided that this notice is preserved.
"""

# Coefficients of x^0, x^1, ... in numerator and denominator.
# erf(x) = x + x P(x^2) / Q(x^2) for |x| < 0.84375
SMALL = (
    (
        1.28379167095512558561e-01,
        -3.25042107247001499370e-01,
        -2.84817495755985104766e-02,
        -5.77027029648944159157e-03,
        -2.37630166566501626084e-05,
    ),
    (
        1.0,
        3.97917223959155352819e-01,
        6.50222499887672944485e-02,
        5.08130628187576562776e-03,
        1.32494738004321644526e-04,
        -3.96022827877536812320e-06,
    ),
)
# erf(x) = AT_ONE + P(x - 1) / Q(x - 1) for 0.84375 <= x < 1.25
AT_ONE = 8.45062911510467529297e-01
MIDDLE = (
    (
        -2.36211856075265944077e-03,
        4.14856118683748331666e-01,
        -3.72207876035701323847e-01,
        3.18346619901161753674e-01,
        -1.10894694282396677476e-01,
        3.54783043256182359371e-02,
        -2.16637559486879084300e-03,
    ),
    (
        1.0,
        1.06420880400844228286e-01,
        5.40397917702171048937e-01,
        7.18286544141962662868e-02,
        1.26171219808761642112e-01,
        1.36370839120290507362e-02,
        1.19844998467991074170e-02,
    ),
)
# erf(x) = 1 - exp(-x^2 - 0.5625 + P(1/x^2) / Q(1/x^2)) / x for 1.25 <= x < 1 / 0.35
TAIL = (
    (
        -9.86494403484714822705e-03,
        -6.93858572707181764372e-01,
        -1.05586262253232909814e01,
        -6.23753324503260060396e01,
        -1.62396669462573470355e02,
        -1.84605092906711035994e02,
        -8.12874355063065934246e01,
        -9.81432934416914548592e00,
    ),
    (
        1.0,
        1.96512716674392571292e01,
        1.37657754143519042600e02,
        4.34565877475229228821e02,
        6.45387271733267880336e02,
        4.29008140027567833386e02,
        1.08635005541779435134e02,
        6.57024977031928170135e00,
        -6.04244152148580987438e-02,
    ),
)
# the same form for 1 / 0.35 <= x < 6; past 6 erf is 1 to the last bit of float64
FAR_TAIL = (
    (
        -9.86494292470009928597e-03,
        -7.99283237680523006574e-01,
        -1.77579549177547519889e01,
        -1.60636384855821916062e02,
        -6.37566443368389627722e02,
        -1.02509513161107724954e03,
        -4.83519191608651397019e02,
    ),
    (
        1.0,
        3.03380607434824582924e01,
        3.25792512996573918826e02,
        1.53672958608443695994e03,
        3.19985821950859553908e03,
        2.55305040643316442583e03,
        4.74528541206955367215e02,
        -2.24409524465858183362e01,
    ),
)


def erf(xp, x):
    """erf(x) = 2/sqrt(pi) * integral of exp(-t^2) from 0 to x, of any shape.

    ``xp`` is the namespace of the array (NumPy's or CuPy's). float32 and float64 are computed in
    their own precision, float16 in float32, and the dtype is kept; integers become float64.
    """
    x = xp.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype("float64")
    dtype = x.dtype
    if dtype.itemsize < 4:
        x = x.astype("float32")
    size = xp.minimum(xp.abs(x), 6.0)  # infinity becomes 6, NaN stays NaN

    # Each range clips its argument to itself: elsewhere its value is not used, but evaluating it
    # there could overflow or divide by zero.
    near = xp.maximum(xp.minimum(x, 0.84375), -0.84375)
    small = near + near * _quotient(SMALL, near * near)
    middle = AT_ONE + _quotient(MIDDLE, xp.minimum(xp.maximum(size, 0.84375), 1.25) - 1)
    far = xp.maximum(size, 1.25)
    t = 1 / (far * far)
    exponent = xp.where(far < 1 / 0.35, _quotient(TAIL, t), _quotient(FAR_TAIL, t))
    tail = 1 - xp.exp(-far * far - 0.5625 + exponent) / far

    y = xp.where(size < 1.25, middle, tail)
    y = xp.where(size < 0.84375, small, xp.where(x < 0, -y, y))
    return y.astype(dtype)


def _quotient(coefficients, t):
    numerator, denominator = coefficients
    return _horner(numerator, t) / _horner(denominator, t)


def _horner(coefficients, t):
    y = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        y = y * t + c
    return y
