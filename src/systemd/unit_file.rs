//! The [Install] section of unit files, and the kinds of unit names: systemd.unit(5).

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
        let text = String::from_utf8_lossy(file);
        let mut inside = false;
        for line in logical_lines(&text) {
            if line.starts_with('[') {
                inside = line == "[Install]";
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
            let value = value.trim();
            let list = match key.trim() {
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

/// Lines without comments, blanks and continuations: a backslash at the end joins the next line,
/// and comments between are left out (systemd.syntax(7)).
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) || (trimmed.is_empty() && open.is_none()) {
            continue;
        }
        let mut joined = open.take().unwrap_or_default();
        match trimmed.strip_suffix('\\') {
            Some(part) => {
                joined.push_str(part);
                joined.push(' ');
                open = Some(joined);
            }
            None => {
                joined.push_str(trimmed);
                lines.push(joined);
            }
        }
    }
    lines.extend(open);
    lines
}

/// `foo@.service` and `bar` of `foo@bar.service`; no instance for a template itself; `None` for a
/// plain name.
pub(super) fn template(name: &str) -> Option<(String, Option<&str>)> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    Some((format!("{prefix}@.{suffix}"), Some(instance).filter(|instance| !instance.is_empty())))
}

/// The instance of a template's name.
pub(super) fn instance_of(name: &str, instance: &str) -> String {
    name.replacen("@.", &format!("@{instance}."), 1)
}

/// Replaces the specifiers that [Install] may use and that depend on nothing but the unit's name;
/// `None` for one that depends on the host.
pub(super) fn expand(text: &str, name: &str) -> Option<String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        out.push_str(match letters.next()? {
            'n' => name,
            'N' => stem,
            'p' => prefix,
            'i' => instance,
            'j' => prefix.rsplit('-').next().unwrap_or(prefix),
            '%' => "%",
            _ => return None,
        });
    }
    Some(out)
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

    #[test]
    fn names_come_apart_into_template_and_instance() {
        assert_eq!(template("a@b.service"), Some(("a@.service".to_owned(), Some("b"))));
        assert_eq!(template("a@.service"), Some(("a@.service".to_owned(), None)));
        assert_eq!(template("a.service"), None);
        assert_eq!(instance_of("a@.service", "b"), "a@b.service");
    }

    #[test]
    fn specifiers_of_the_name_are_replaced_and_others_refused() {
        assert_eq!(expand("%p-%i-%n-%N-%j-%%", "a-b@c.service").unwrap(), "a-b-c-a-b@c.service-a-b@c-b-%");
        assert_eq!(expand("%H.target", "a.service"), None);
        assert_eq!(expand("a%", "a.service"), None);
    }
}
