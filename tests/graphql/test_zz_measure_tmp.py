"""Whole compare over the app: total time, CPU, longest silence of the loop."""
import asyncio, time, random
from tests.graphql.client import serving
from tests.graphql.mutations import ARTIFACT, CAPABILITY, call
random.seed(1)
W="reads writes tables invoices speech maps source code images video audio text scanned pictures summarises translates generates structured answers questions documents legal medical finance fast agents tools calling".split()
def t(n): return " ".join(random.choice(W) for _ in range(n))
Q="""query ($slugs: [String!]!) { compare(slugs: $slugs) { %s } }"""
FIELDS={"artifacts only":"artifacts { slug }","aligned":"alignedBy","verdict":"verdict { outcome }", "all":"alignedBy aligned { similarity left { key } right { key } } similar { similarity } shared { name } onlyIn { capabilities { key } } verdict { outcome }"}
async def test_measure(url, servers):
    async with serving(url, servers.redis_url) as api:
        arts=[{**ARTIFACT,"slug":f"a-{n}","capabilities":[{**CAPABILITY,"key":f"k-{n}-{i}","name":t(4),"description":t(30),"intents":[t(6),t(6)]} for i in range(100)]} for n in range(5)]
        ans=await call(api,"importArtifacts",artifacts=arts)
        await api.ask(f'query @atLeast(position: "{ans["position"]}") {{ position {{ head }} }}')
        for name,f in FIELDS.items():
          for _ in range(3):
            gap=0.0; done=False
            async def tick():
                nonlocal gap
                while not done:
                    s=time.perf_counter(); await asyncio.sleep(0.001); gap=max(gap,time.perf_counter()-s)
            tk=asyncio.create_task(tick()); await asyncio.sleep(0.01)
            s=time.perf_counter(); c=time.process_time()
            await api.ask(Q % f, slugs=[f"a-{n}" for n in range(5)])
            print(f"{name:15} wall {time.perf_counter()-s:.3f} cpu {time.process_time()-c:.3f} longest silence {gap:.3f}")
            done=True; await tk
