-- Sends the requests of a file in turn. Zero bytes separate the requests.
local requests, last = {}, 0

function init(arguments)
  for request in io.open(arguments[1], "rb"):read("*a"):gmatch("[^%z]+") do
    requests[#requests + 1] = request
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end
