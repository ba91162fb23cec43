//! A cluster of Redis, of one's own.

use super::server::{Server, free_port, until};

/// Three nodes, each with a third of the slots.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    pub async fn start() -> Self {
        let node = |_| {
            Server::with(|_| {
                let bus = free_port().to_string();
                let settings = [
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus,
                    "--cluster-node-timeout",
                    "2000",
                    "--cluster-require-full-coverage",
                    "no",
                ];
                settings.map(ToOwned::to_owned).to_vec()
            })
        };
        let nodes: Vec<Server> = (0..3).map(node).collect();
        let slots = ["0 5460", "5461 10922", "10923 16383"];
        for (node, slots) in nodes.iter().zip(slots) {
            let said = node.say(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
            assert_eq!(said, "+OK");
        }
        for node in &nodes[1..] {
            let (port, bus) = (node.port, node.setting("--cluster-port"));
            let meet = format!("CLUSTER MEET 127.0.0.1 {port} {bus}");
            assert_eq!(nodes[0].say(&meet).await, "+OK");
        }
        let cluster = Self { nodes };
        until("the nodes know each other", async || {
            for node in &cluster.nodes {
                let info = node.say("CLUSTER INFO").await;
                let is_whole = [
                    "cluster_state:ok",
                    "cluster_slots_ok:16384",
                    "known_nodes:3",
                ];
                if !is_whole.iter().all(|part| info.contains(part)) {
                    return false;
                }
            }
            true
        })
        .await;
        cluster
    }

    /// The node that has the key's slot, and the slot.
    pub async fn owner(&self, key: &str) -> (usize, i64) {
        let slot = self.nodes[0]
            .number(&format!("CLUSTER KEYSLOT {key}"))
            .await;
        let owner = [5_460, 10_922, 16_383].partition_point(|last| *last < slot);
        (owner, slot)
    }

    pub async fn id(&self, node: usize) -> String {
        self.nodes[node].say("CLUSTER MYID").await
    }

    /// Gives a slot to another node, with one key in it; `halfway` is done while both are at it.
    pub async fn give(
        &self,
        slot: i64,
        from: usize,
        to: usize,
        key: &str,
        halfway: impl AsyncFnOnce(),
    ) {
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (source_id, target_id) = (self.id(from).await, self.id(to).await);
        let ok = async |node: &Server, line: String| assert_eq!(node.say(&line).await, "+OK");
        ok(
            target,
            format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"),
        )
        .await;
        ok(
            source,
            format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"),
        )
        .await;
        let port = target.port;
        ok(source, format!("MIGRATE 127.0.0.1 {port} {key} 0 5000")).await;
        halfway().await;
        ok(target, format!("CLUSTER SETSLOT {slot} NODE {target_id}")).await;
        ok(source, format!("CLUSTER SETSLOT {slot} NODE {target_id}")).await;
    }
}
