//! `/healthz` and `/readyz`.

use reqwest::Method;

use crate::support::{Answer, TestApp};

#[tokio::test]
async fn healthz_and_readyz_report_the_state_of_the_server() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(Answer::of(app.request(Method::GET, path)).await.status, 200);
    }
}
