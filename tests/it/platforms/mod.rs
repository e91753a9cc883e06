//! What is peculiar to each platform, driven through the same road the service takes.

mod binom;
