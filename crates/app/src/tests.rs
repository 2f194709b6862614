mod doors;
mod feeds;
mod names;
mod reactions;
mod retries;
mod story;
mod tenants;
