//! Prints user data: `compose nat BLOCK... [ssh BLOCK...] [health BLOCK...]` for a NAT server that forwards these blocks,
//! `compose guest [BLOCK...]` for a guest whose own user data comes in, and which prefers networks of these ranges.

use std::{
    error::Error,
    io::{Read as _, Write as _},
};

use igw_polyfill::{
    guest::{self, Guest, UserData},
    nat::NatConfig,
    sentences,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let text = match words.next().as_deref() {
        Some("nat") => {
            let mut config = NatConfig::default();
            let mut list = &mut config.sources;
            for word in words {
                match word.as_str() {
                    "ssh" => list = &mut config.ssh_from,
                    "health" => list = &mut config.health_from,
                    block => list.push(block.parse()?),
                }
            }
            config.user_data().map_err(|long| format!("{} bytes are too many", long.bytes))?
        }
        Some("guest") => {
            let mut own = String::new();
            std::io::stdin().read_to_string(&mut own)?;
            let prefer = words.map(|block| block.parse()).collect::<Result<_, _>>()?;
            match guest::user_data(Some(&own), &Guest { prefer, ..Guest::default() }) {
                Ok(UserData::Managed(text)) => text,
                Ok(UserData::AsSent(_, why)) => return Err(sentences::unmanaged(why).into()),
                Err(why) => return Err(sentences::refusal(why).into()),
            }
        }
        _ => return Err("say nat or guest".into()),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
