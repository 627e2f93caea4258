from playwright.sync_api import expect
from minillm.recipe import RunRecipe
import pytest

SHORT = {"samples": 4, "length": 16, "gradient_samples": 2}


@pytest.mark.parametrize("n", range(8))
def test_it(n, visit, app, browser):
    run_id = app.store.create_run(RunRecipe(model=app.models["quick"], dtype="float32", **SHORT), "x")
    page = visit(f"model?run={run_id}")
    page.locator("#inspect").click()
    expect(page.locator(".job-chip")).to_contain_text("done")
    visit(f"prune?run={run_id}")
    c = browser.new_context()
    pg = c.new_page()
    log = []

    def resp(r):
        if "/run/" in r.url or "queue" in r.url:
            try:
                log.append(
                    (
                        r.status,
                        r.url[-70:],
                        (r.request.post_data or "")[:300],
                        r.text()[:600] if "/run/" in r.url else "",
                    )
                )
            except Exception as e:
                log.append(("ERR", str(e)[:100]))

    pg.on("response", resp)
    pg.on("requestfailed", lambda r: log.append(("FAILED", r.url, r.failure)))
    pg.on("console", lambda m: log.append(("CONSOLE", m.type, m.text[:300])))
    pg.on("pageerror", lambda e: log.append(("PAGEERROR", str(e)[:300])))
    pg.goto(app.url(f"prune?run={run_id}&criterion=random&ratio=0.1&blocks=1-2"), wait_until="domcontentloaded")
    try:
        expect(pg.locator("#prune-criterion input")).to_have_value("random (scored first)", timeout=25000)
    except AssertionError:
        for l in log:
            print(l)
        print(pg.locator("#page").inner_text()[:500])
        print(app.log.read_text()[-1500:])
        raise
    finally:
        c.close()
