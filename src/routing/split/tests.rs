use super::*;
use proptest::prelude::*;

/// Numbers that look random, the same in every run.
fn random(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|n| hash(&n.to_le_bytes()))
}

fn named(weights: &[u32]) -> WeightedSplit {
    let targets =
        (weights.iter().enumerate()).map(|(index, weight)| (format!("t{index}"), *weight));
    WeightedSplit::new(targets).unwrap()
}

impl WeightedSplit {
    fn of(&self, key: &[u8]) -> usize {
        self.pick(key, |_| true).unwrap()
    }

    fn draw(&self, random: u64) -> usize {
        self.pick_random(random, |_| true).unwrap()
    }
}

/// Pearson's chi-square of picks against weights.
fn chi_square(weights: &[u32], picks: impl Iterator<Item = usize>) -> f64 {
    let mut counts = vec![0_u32; weights.len()];
    for pick in picks {
        counts[pick] += 1;
    }
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let picks: f64 = counts.iter().copied().map(f64::from).sum();
    let terms = weights.iter().zip(&counts).map(|(&weight, &count)| {
        if weight == 0 {
            return if count == 0 { 0.0 } else { f64::INFINITY };
        }
        let expected = picks * f64::from(weight) / total;
        (f64::from(count) - expected).powi(2) / expected
    });
    terms.sum()
}

#[test]
fn shares_follow_the_weights() {
    let tables: [&[u32]; 7] = [
        &[1],
        &[1, 1],
        &[95, 5],
        &[99, 1, 0],
        &[1, 2, 3, 4],
        &[u32::MAX, u32::MAX / 3],
        &[7, 0, 1, 13, 2, 2, 0, 40],
    ];
    for weights in tables {
        let split = named(weights);
        // With at most 5 degrees of freedom, 20.5 is passed once in a thousand.
        let users = (0..40_000).map(|n| split.of(format!("user-{n}").as_bytes()));
        let chi = chi_square(weights, users);
        assert!(chi < 20.5, "names: {chi} for {weights:?}");
        let numbers = (0..40_000_u32).map(|n| split.of(&n.to_be_bytes()));
        let chi = chi_square(weights, numbers);
        assert!(chi < 20.5, "numbers: {chi} for {weights:?}");
        let chi = chi_square(weights, random(40_000).map(|r| split.draw(r)));
        assert!(chi < 20.5, "random: {chi} for {weights:?}");
    }
}

#[test]
fn no_more_keys_move_than_have_to() {
    let (before, after) = (named(&[90, 10]), named(&[80, 20]));
    let keys = 40_000_u32;
    let moved = (0..keys).map(u32::to_be_bytes);
    let moved = moved.filter(|key| before.of(key) != after.of(key)).count();
    // The canary's share grows by a tenth.
    assert!((3_700..=4_300).contains(&moved), "{moved}");
}

#[test]
fn the_pick_never_changes() {
    let split =
        WeightedSplit::new([("stable", 3), ("canary", 1), ("off", 0), ("blue", 2)]).unwrap();
    let keys: [&[u8]; 12] = [
        b"", b"a", b"b", b"c", b"user-1", b"user-2", b"user-3", b"user-4", b"\0", b"\xff", b"0",
        b"17",
    ];
    assert_eq!(
        keys.map(|key| split.of(key)),
        [1, 3, 3, 0, 0, 3, 1, 0, 0, 3, 1, 3]
    );
    assert_eq!(hash(b"user-1"), 0xC499_B5F8_A721_DF58);
}

#[test]
fn random_picks_cover_the_edges() {
    let split = named(&[0, 1, 1, 0]);
    for (random, index) in [
        (0, 1),
        (u64::MAX / 2, 1),
        (u64::MAX / 2 + 1, 2),
        (u64::MAX, 2),
    ] {
        assert_eq!(split.draw(random), index, "{random}");
    }
}

/// What a target that is not there would have had goes to the others by weight, and all else stays where it is.
#[test]
fn those_that_are_there_share_what_another_one_had() {
    let weights = [50, 30, 0, 20];
    let split = named(&weights);
    let is_there = |index| index != 1;
    let keys = (0..40_000_u32).map(u32::to_be_bytes);
    let moved = keys.clone().map(|key| {
        let (before, after) = (split.of(&key), split.pick(&key, is_there).unwrap());
        assert!(before == after || before == 1);
        after
    });
    assert!(chi_square(&[50, 0, 0, 20], moved) < 20.5);
    let drawn = random(40_000).map(|random| split.pick_random(random, is_there).unwrap());
    assert!(chi_square(&[50, 0, 0, 20], drawn) < 20.5);
    for nobody in [|_| false, |index| index == 2] {
        assert_eq!(split.pick(b"a", nobody), None);
        assert_eq!(split.pick_random(u64::MAX, nobody), None);
    }
}

#[test]
fn every_mistake_is_listed() {
    let errors = |targets: &[(&str, u32)]| -> Vec<String> {
        let errors = WeightedSplit::new(targets.iter().copied()).unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    };
    let no_weight = "a split needs a target with a weight above 0";
    assert_eq!(errors(&[]), [no_weight]);
    assert_eq!(errors(&[("a", 0)]), [no_weight]);
    assert_eq!(
        errors(&[("b", 0), ("a", 0), ("b", 0), ("a", 0), ("b", 0)]),
        [
            no_weight,
            "the split has the target `a` twice",
            "the split has the target `b` twice"
        ]
    );
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(prop_oneof![0..5_u32, any::<u32>()], 1..8)
        .prop_filter("a weight", |weights| {
            weights.iter().any(|&weight| weight > 0)
        })
}

proptest! {
    #[test]
    fn raising_a_weight_draws_keys_to_it_alone(weights in weights(), which: prop::sample::Index, by: u32, key: Vec<u8>) {
        let which = which.index(weights.len());
        let mut raised = weights.clone();
        raised[which] = raised[which].saturating_add(by);
        let (before, after) = (named(&weights).of(&key), named(&raised).of(&key));
        prop_assert!(after == before || after == which);
    }

    #[test]
    fn a_target_without_weight_takes_nothing(weights in weights(), key: Vec<u8>, random: u64) {
        let split = named(&weights);
        prop_assert!(weights[split.of(&key)] > 0);
        prop_assert!(weights[split.draw(random)] > 0);
    }

    #[test]
    fn the_order_of_targets_is_without_influence(weights in weights(), key: Vec<u8>) {
        let forward: Vec<_> = weights.iter().enumerate().map(|(n, &weight)| (n.to_string(), weight)).collect();
        let mut backward = forward.clone();
        backward.reverse();
        let name = |targets: &[(String, u32)]| {
            let split = WeightedSplit::new(targets.to_vec()).unwrap();
            targets[split.of(&key)].0.clone()
        };
        prop_assert_eq!(name(&forward), name(&backward));
    }
}
