//! The order of a source's versions: semver between tags, ancestry where a commit without a tag takes part. Pure.

use std::collections::BTreeSet;

use semver::Version;

/// A version that wants a place.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The semver of its own tag.
    pub tag: Option<Version>,
    /// The commit's time.
    pub time: i64,
    /// Its label.
    pub label: String,
    /// The items whose commits are ancestors of this one's.
    pub ancestors: BTreeSet<usize>,
}

/// The items' indexes, oldest first.
///
/// A tag comes after every tag with a smaller semver; a commit comes after its ancestors and before its descendants.
/// What these leave open is decided by commit time and then by label. Should they contradict each other (a tag that is
/// an ancestor of a tag with a smaller semver, and a commit between the two), semver holds.
pub(crate) fn order(items: &[Item]) -> Vec<usize> {
    let mut tagged: Vec<(usize, &Version)> =
        items.iter().enumerate().filter_map(|(index, item)| Some((index, item.tag.as_ref()?))).collect();
    tagged.sort_by(|(a, left), (b, right)| {
        left.cmp(right).then_with(|| (items[*a].time, &items[*a].label).cmp(&(items[*b].time, &items[*b].label)))
    });
    let mut before: Vec<Option<usize>> = vec![None; items.len()];
    for pair in tagged.windows(2) {
        before[pair[1].0] = Some(pair[0].0);
    }
    let mut left: BTreeSet<usize> = (0..items.len()).collect();
    let mut placed = Vec::with_capacity(items.len());
    while !left.is_empty() {
        let key = |index: &usize| (items[*index].time, items[*index].label.clone(), *index);
        let semver_allows = |index: &usize| before[*index].is_none_or(|other| !left.contains(&other));
        let ancestry_allows = |index: &usize| {
            let item = &items[*index];
            !item
                .ancestors
                .iter()
                .any(|ancestor| left.contains(ancestor) && (item.tag.is_none() || items[*ancestor].tag.is_none()))
        };
        let next = left
            .iter()
            .copied()
            .filter(|index| semver_allows(index) && ancestry_allows(index))
            .min_by_key(key)
            .or_else(|| left.iter().copied().filter(semver_allows).min_by_key(key))
            .expect("the smallest tag left, or any commit, is allowed by semver");
        left.remove(&next);
        placed.push(next);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `label time [=semver] [<ancestor,…]`
    fn check(items: &[&str], expect: &str) {
        let labels: Vec<&str> = items.iter().map(|item| item.split(' ').next().expect("one")).collect();
        let parsed: Vec<Item> = items
            .iter()
            .map(|item| {
                let mut words = item.split(' ');
                let label = words.next().expect("a label").to_owned();
                let time = words.next().expect("a time").parse().expect("a number");
                let mut made = Item { tag: None, time, label, ancestors: BTreeSet::new() };
                for word in words {
                    if let Some(tag) = word.strip_prefix('=') {
                        made.tag = Some(tag.parse().expect("a semver"));
                    } else if let Some(names) = word.strip_prefix('<') {
                        made.ancestors = names
                            .split(',')
                            .map(|name| labels.iter().position(|l| *l == name).expect("known"))
                            .collect();
                    }
                }
                made
            })
            .collect();
        let placed: Vec<&str> = order(&parsed).into_iter().map(|index| labels[index]).collect();
        assert_eq!(placed.join(" "), expect);
    }

    #[test]
    fn orders() {
        // Tags by semver, whatever their dates: 6.0.9 was released after 7.0.0.
        check(&["b 30 =6.0.9", "c 20 =7.0.0", "a 10 =6.0.0"], "a b c");
        // A branch after the tags it contains, before the tags that contain it.
        check(&["v2 30 =2.0.0 <v1,x", "x 99 <v1", "v1 10 =1.0.0"], "v1 x v2");
        // A branch that contains none of the tags stands where its date puts it.
        check(&["unstable 50", "7 20 =7.0.0", "8 40 =8.0.0"], "7 8 unstable");
        // Commits by ancestry, whatever their dates.
        check(&["a 30", "b 20 <a", "c 10 <a,b"], "a b c");
        // Ties by date and then by label.
        check(&["b 10", "a 10", "c 5"], "c a b");
        // Contradictions: semver holds, and it ends.
        check(&["v2 10 =2.0.0", "x 20 <v2", "v1 30 =1.0.0 <x,v2"], "x v1 v2");
        check(&[], "");
    }

    proptest! {
        #[test]
        fn every_item_has_one_place_and_semver_holds(
            raw in prop::collection::vec((prop::option::of(0u64..5), 0i64..9, any::<u16>()), 0..9)
        ) {
            let items: Vec<Item> = raw
                .iter()
                .enumerate()
                .map(|(index, (tag, time, bits))| Item {
                    tag: tag.map(|major| Version::new(major, 0, 0)),
                    time: *time,
                    label: format!("l{index}"),
                    ancestors: (0..raw.len()).filter(|other| *other != index && bits & (1 << other) != 0).collect(),
                })
                .collect();
            let placed = order(&items);
            let mut sorted = placed.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..items.len()).collect::<Vec<_>>());
            let tags: Vec<&Version> = placed.iter().filter_map(|index| items[*index].tag.as_ref()).collect();
            prop_assert!(tags.is_sorted());
        }
    }
}
