//! Nobody takes more than a share: an attacker takes all it can, and a bystander must not notice.

mod uses;
