"""Tests of the kernels for GPUs: in Numba's simulator, as PTX, and on a device if there is one."""
