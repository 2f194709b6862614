//! witan-projections
