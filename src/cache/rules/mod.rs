//! What may be stored, for how long, and when it may be used.
