"""Tests of the measures; a package, because files of the theory's tests have the same names."""
