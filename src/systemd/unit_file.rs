//! The [Install] section of unit files: systemd.unit(5).

use crate::model::unit_file::assignments;

/// What a unit file says about being enabled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Install {
    /// Other names of the unit.
    pub(super) alias: Vec<String>,
    /// Units that start it when they are started.
    pub(super) wanted_by: Vec<String>,
    /// Units that need it.
    pub(super) required_by: Vec<String>,
    /// Units that start it again whenever it stops (systemd 249 and later).
    pub(super) upheld_by: Vec<String>,
    /// Units that are enabled and disabled with it.
    pub(super) also: Vec<String>,
    /// Which instance of a template is meant when none is named.
    pub(super) default_instance: Option<String>,
}

impl Install {
    /// Whether there is anything to link.
    pub(super) fn has_rules(&self) -> bool {
        [&self.alias, &self.wanted_by, &self.required_by, &self.upheld_by].iter().any(|list| !list.is_empty())
    }

    /// Adds what the [Install] section of one more file says; an empty value takes back what was
    /// said before.
    pub(super) fn add(&mut self, file: &[u8]) {
        let (settings, _) = assignments(file);
        for setting in settings.iter().filter(|setting| setting.section == "Install") {
            let value = setting.value.as_str();
            let list = match setting.key.as_str() {
                "Alias" => &mut self.alias,
                "WantedBy" => &mut self.wanted_by,
                "RequiredBy" => &mut self.required_by,
                "UpheldBy" => &mut self.upheld_by,
                "Also" => &mut self.also,
                "DefaultInstance" => {
                    self.default_instance = (!value.is_empty()).then(|| value.to_owned());
                    continue;
                }
                _ => continue,
            };
            if value.is_empty() {
                list.clear();
            }
            list.extend(value.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_install_section_is_read_as_systemd_reads_it() {
        let mut install = Install::default();
        install.add(
            b"[Unit]\nWantedBy=not.target\n[Install]\n# WantedBy=no.target\nWantedBy = a.target \\\n# between\n  b.target\n\
              ;x\nWantedBy=c.target\nAlias=\"d.service\"\nAlso=e.socket f.socket\nDefaultInstance=g\n[Service]\nAlias=h.service\n",
        );
        assert_eq!(install.wanted_by, ["a.target", "b.target", "c.target"]);
        assert_eq!(install.alias, ["d.service"]);
        assert_eq!(install.also, ["e.socket", "f.socket"]);
        assert_eq!(install.default_instance.as_deref(), Some("g"));
        install.add(b"[Install]\nWantedBy=\nWantedBy=i.target\nAlias=\n");
        assert_eq!((install.wanted_by, install.alias), (vec!["i.target".to_owned()], vec![]));
    }
}
