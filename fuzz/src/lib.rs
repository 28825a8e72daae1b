//! What the fuzz targets and their seeds share.

pub mod layout;
pub mod mend;
pub mod mutate;
pub mod store;
