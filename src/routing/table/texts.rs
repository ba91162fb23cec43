//! Many short texts in one allocation.

pub(super) struct Texts {
    all: Box<str>,
    ends: Box<[u32]>,
}

impl Texts {
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut all = String::new();
        let ends = texts.map(|text| {
            all.push_str(text);
            all.len() as u32
        });
        Self {
            ends: ends.collect(),
            all: all.into(),
        }
    }

    pub(super) fn get(&self, at: u32) -> &str {
        let at = at as usize;
        let start = if at == 0 {
            0
        } else {
            self.ends[at - 1] as usize
        };
        &self.all[start..self.ends[at] as usize]
    }
}
