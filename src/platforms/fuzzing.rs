//! The readers of the platforms' answers, for the fuzz targets alone: no other build has this module.
//!
//! Each function reads any bytes as every answer its platform gives, and must come back whatever they are.

use super::{affise, binom, cake, everflow, keitaro, tune, voluum};

/// Reads an answer of Affise.
pub fn affise(bytes: &[u8]) {
    affise::fuzz(bytes);
}

/// Reads an answer of Binom.
pub fn binom(bytes: &[u8]) {
    binom::fuzz(bytes);
}

/// Reads an answer of CAKE.
pub fn cake(bytes: &[u8]) {
    cake::fuzz(bytes);
}

/// Reads an answer of Everflow.
pub fn everflow(bytes: &[u8]) {
    everflow::fuzz(bytes);
}

/// Reads an answer of Keitaro.
pub fn keitaro(bytes: &[u8]) {
    keitaro::fuzz(bytes);
}

/// Reads an answer of TUNE.
pub fn tune(bytes: &[u8]) {
    tune::fuzz(bytes);
}

/// Reads an answer of Voluum.
pub fn voluum(bytes: &[u8]) {
    voluum::fuzz(bytes);
}
