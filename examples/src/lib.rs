//! Support code shared by the programs of this package.
