//! Lists: pages, selectors, deleted ones.

use reqwest::Method;
use seca_api::Kind;
use serde_json::{Value, json};

use crate::{
    stack::{Client, PROFILES, stack},
    table::{self, Place},
};

const COUNT: usize = 5;

/// Some gateways in a workspace of their own, their numbers in labels.
async fn some(client: &Client) -> (Place, String) {
    let place = client.workspace("lists").await;
    for number in 0..COUNT {
        let path = client.item(Kind::InternetGateway, &place, &format!("g{number}"));
        let labels = json!({"env": "conformance", "number": number.to_string(), "monitoring:level": "high"});
        client.put(&path, &json!({"labels": labels, "spec": {"egressOnly": true}})).await.expect(201);
    }
    let collection = client.collection(Kind::InternetGateway, &place);
    (place, collection)
}

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// All pages of a list, whose sizes are as asked.
async fn walk(client: &Client, collection: &str, query: &str, size: usize) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let list = client.get(&format!("{collection}?{query}&limit={size}{token}")).await.expect(200);
        let page = names(&list);
        assert!(page.len() <= size, "{list}");
        found.extend(page);
        let Some(next) = list["metadata"].get("skipToken") else { return found };
        assert!(!list["items"].as_array().unwrap().is_empty(), "an empty page with a token: {list}");
        let next =
            next.as_str().filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("a token of nothing: {list}"));
        token = format!("&skipToken={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_everything_once_and_the_last_has_no_token() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let (place, collection) = some(&client).await;
        let all: Vec<_> = (0..COUNT).map(|number| format!("g{number}")).collect();
        for size in 1..=COUNT + 1 {
            assert_eq!(walk(&client, &collection, "", size).await, all);
        }
        for query in ["limit=0", "limit=-1", "limit=10001", "limit=99999999999999999999"] {
            let list = client.get(&format!("{collection}?{query}")).await.expect(200);
            assert!(!names(&list).is_empty(), "{query} is brought within the limits");
        }
        for query in
            ["limit=ten", "limit=", "skipToken=nonsense", "labels=%3D%3D", "labels=a&labels=b", "labels=a%20in%20("]
        {
            let problem = client.get(&format!("{collection}?{query}")).await.refused(400);
            assert_eq!(problem.sources.len(), 1, "{query}: {problem}");
        }
        let selectors: [(&str, &[usize]); 12] = [
            ("env=conformance", &[0, 1, 2, 3, 4]),
            ("env==conformance,number=3", &[3]),
            ("env!=conformance", &[]),
            ("number!=3", &[0, 1, 2, 4]),
            ("missing!=3", &[0, 1, 2, 3, 4]),
            ("number>2", &[3, 4]),
            ("number<=1", &[0, 1]),
            ("env>1", &[]),
            ("*um*=*2*", &[2]),
            ("monitoring:level=high,number>=4", &[4]),
            ("number in (1,2)", &[1, 2]),
            ("!number", &[]),
        ];
        for (selector, expected) in selectors {
            let expected: Vec<_> = expected.iter().map(|number| format!("g{number}")).collect();
            let query: String = url::form_urlencoded::byte_serialize(selector.as_bytes()).collect();
            for name in ["labels", "labelSelector"] {
                assert_eq!(walk(&client, &collection, &format!("{name}={query}"), 1).await, expected, "{selector}");
            }
        }
        client.get(&format!("{collection}?labels=env%3Dconformance")).await.expect(200);
        for number in 0..COUNT {
            client.remove(&client.item(Kind::InternetGateway, &place, &format!("g{number}"))).await;
        }
        assert_eq!(client.get(&collection).await.expect(200)["items"], json!([]));
        client.remove(&client.item(Kind::Workspace, &place, "lists")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_collection_is_listed_in_json_only_and_knows_its_methods() {
    let stack = stack().await;
    for reading in PROFILES {
        let client = stack.client(reading);
        let place = Place::base(reading.tenant);
        for row in table::served() {
            let (collection, item) = (client.collection(row.kind, &place), client.item(row.kind, &place, "base"));
            for accept in ["application/json", "*/*", "application/json; deleted=true"] {
                let list = client.send(Method::GET, &collection, &[("accept", accept)], None).await.expect(200);
                assert!(names(&list).contains(&"base".to_owned()), "{collection}: {list}");
            }
            let only = [("accept", "application/json; deleted=only")];
            let list = client.send(Method::GET, &collection, &only, None).await.expect(200);
            assert!(!names(&list).contains(&"base".to_owned()), "{collection}: {list}");
            client.send(Method::GET, &collection, &[("accept", "text/html")], None).await.refused(406);
            for (method, path) in [
                (Method::PUT, &collection),
                (Method::DELETE, &collection),
                (Method::POST, &item),
                (Method::PATCH, &item),
            ] {
                client.send(method, path, &[], None).await.refused(405);
            }
        }
    }
}
