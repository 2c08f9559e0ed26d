from fastsched.theory.law import LossLaw
from fastsched.theory.least_squares import least_squares_risk, volterra_risk
