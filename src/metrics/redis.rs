//! What replicas ask Redis for, as the label of its failures.

/// Makes the operations, each with its label: none can be left out of those that start at zero.
macro_rules! operations {
    ($($operation:ident => $label:literal),+ $(,)?) => {
        /// An operation on Redis.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum RedisOperation {
            $(#[doc = concat!("`", $label, "`")] $operation),+
        }

        impl RedisOperation {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$operation),+];

            /// Its name as a label, and in the log.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$operation => $label),+
                }
            }
        }
    };
}

operations! {
    Connect => "connect",
    Ping => "ping",
    Renew => "renew",
    Take => "take",
    GiveBack => "give_back",
    Resize => "resize",
    BackOff => "back_off",
    EndBackOff => "end_back_off",
    Count => "count",
    TakeBack => "take_back",
    Look => "look",
    Keep => "keep",
    Announce => "announce",
}
