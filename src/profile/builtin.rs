//! Pure: the profiles that are part of the program, so that it works without its data files.

/// Name and text of each profile in os-profiles/.
pub const BUILTIN: [(&str, &str); 4] = [
    ("debian-11", include_str!("../../os-profiles/debian-11.toml")),
    ("debian", include_str!("../../os-profiles/debian.toml")),
    ("generic", include_str!("../../os-profiles/generic.toml")),
    ("ubuntu", include_str!("../../os-profiles/ubuntu.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use std::collections::BTreeSet;

    #[test]
    fn every_profile_of_the_directory_is_built_in_and_reads_well() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/os-profiles")).unwrap();
        let files: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let names = BUILTIN.iter().map(|(name, _)| format!("{name}.toml")).collect();
        assert_eq!(files, names);
        for (name, text) in BUILTIN {
            Profile::parse(name, name, text).unwrap();
        }
    }
}
