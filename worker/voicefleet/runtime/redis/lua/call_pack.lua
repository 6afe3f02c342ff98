-- A call that has ended becomes one packed value, in place of its log. KEYS: unpacked_calls. args: id, packed ('': its log
-- is not there any more), kept_ms. Returns 1 when that was done now.
local log = log_of(args.id)
local there = redis.call('EXISTS', log) == 1
if redis.call('ZREM', KEYS[1], args.id) == 0 or args.packed == '' or not there then
  return 0
end
redis.call('SET', PREFIX .. 'past_call:' .. args.id, args.packed, 'PX', args.kept_ms)
redis.call('DEL', log, PREFIX .. 'call_facts:' .. args.id)
return 1
