//! What is peculiar to each platform, driven through the same road the service takes.

mod affise;
mod binom;
mod cake;
mod demo;
mod everflow;
mod keitaro;
mod tune;
mod voluum;
