//! Engine: what the picture of a node is made of.

use super::config::Config;
use super::plugins::Tables;
use super::turn::look;
use crate::checks::picture::{directories, picture as painted};
use crate::host::Host;
use crate::model::picture::Picture;
use anyhow::Result;

/// The picture of this node.
pub async fn picture(host: &Host, config: &Config) -> Result<Picture> {
    let config = Config { tables: Tables::Whole, ..config.clone() };
    let mut facts = look(host, &config).await?.facts;
    // A turn asks only for what it may bridge.
    for path in directories(&facts) {
        facts.dirs.entry(path.clone()).or_insert_with(|| host.directory(&path));
    }
    Ok(painted(&facts))
}
