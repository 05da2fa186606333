import threading, random, sys
from datetime import timedelta
from sqlalchemy.exc import OperationalError
from tests.items import *
from totara_bridge.staging import lease, delivery
def test_dead(staging):
    items=Items(staging)
    hits=[]
    for r in range(25):
        items.queued(500)
        claim=items.claim(500)
        ids=list(claim.ids); random.shuffle(ids)
        bar=threading.Barrier(2)
        def ext(bar=bar,claim=claim):
            bar.wait()
            for _ in range(6):
                try:
                    with staging.begin() as t: lease.extend(t,[claim.token],lease_until=NOW+LEASE)
                except OperationalError as e: hits.append("extend "+type(e.orig).__name__)
        def ack(bar=bar,claim=claim):
            bar.wait()
            for i in range(0,500,100):
                try:
                    with staging.begin() as t: delivery.acknowledge(t,claim.token,dict.fromkeys(ids[i:i+100]),log_id=1,now=NOW)
                except OperationalError as e: hits.append("ack "+type(e.orig).__name__)
        ts=[threading.Thread(target=f) for f in (ext,ack)]
        [t.start() for t in ts];[t.join() for t in ts]
    print("HITS",hits)
    assert not hits
