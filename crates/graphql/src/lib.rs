//! witan-graphql
