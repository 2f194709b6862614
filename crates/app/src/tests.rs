mod doors;
mod feeds;
mod names;
mod reactions;
mod retries;
mod standing;
mod story;
mod tenants;
