-- SPDX-License-Identifier: MIT
-- fast.lua - wrk script: prints what a run of short requests measured as one line of JSON.

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '{"p50":%.1f,"p99":%.1f,"requests":%d,"seconds":%.3f,"errors":%d}\n',
      latency:percentile(50.0), latency:percentile(99.0), summary.requests,
      summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
