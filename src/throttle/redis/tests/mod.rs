mod lease;
mod rate;
mod script;

#[path = "../../../../tests/servers/redis.rs"]
#[allow(dead_code, reason = "what other tests need, too")]
mod server;
