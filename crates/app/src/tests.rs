mod feeds;
mod reactions;
mod retries;
mod story;
mod tenants;
