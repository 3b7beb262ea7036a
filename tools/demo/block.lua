-- SPDX-License-Identifier: MIT
-- block.lua - wrk script: clients whose every request blocks a thread in C code.
--
-- 94 of 100 sleep 50..200 ms in nanosleep(), 4 insert a row into SQLite (synchronous=FULL on
-- ext4), 2 call getaddrinfo(). The sequence is the same for every server: fixed seed.

function init(args)
   math.randomseed(1)
end

function request()
   local kind = math.random(100)
   if kind <= 4 then
      return wrk.format("GET", "/sql?q=INSERT+INTO+visits(n)+VALUES(" .. kind .. ")")
   elseif kind <= 6 then
      return wrk.format("GET", "/lookup?h=localhost")
   end
   return wrk.format("GET", "/block?ms=" .. math.random(50, 200))
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format('{"requests":%d,"seconds":%.3f,"errors":%d}\n', summary.requests,
      summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
